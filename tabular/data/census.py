"""The built-in table: the 1994 US census, one row per adult person.

Source: Barry Becker and Ron Kohavi, UCI Machine Learning Repository, 1996,
https://doi.org/10.24432/C5XW20, CC BY 4.0.
No other module names a column, a label, a file, a digest or an address of the data.
"""

NAME = "census-income"  # of the dataset of a run, and of the registered model

# `fnlwgt` is a survey weight, the number of people whom a row represents. It is kept as a feature
# because raw rows have it and published results include it; without it, the cross-validated log
# loss changes by less than its standard error (docs/measurements.md).
NUMERIC = (
    "age",  # years
    "fnlwgt",  # people
    "education-num",  # rank of `education`, 1 to 16
    "capital-gain",  # US dollars in the year
    "capital-loss",  # US dollars in the year
    "hours-per-week",
)
FEATURES = (  # in the order of the files
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
)
CATEGORICAL = tuple(name for name in FEATURES if name not in NUMERIC)
GROUPS = ("sex", "race", "age")  # metrics are broken down by each of these columns
BANDS = {"age": (25, 35, 45, 55, 65)}  # lower bounds of the bands of a numeric group column
CROSSED = ("sex", "race")  # metrics are broken down by the combinations of these columns, too

LABEL = "income"
NEGATIVE, POSITIVE = "<=50K", ">50K"
# Limits that a champion must meet on the test set; a constant prediction has 0.76, 0.5 and 0.55
FLOORS = {"accuracy": 0.85, "roc_auc": 0.9, "log_loss": 0.33}

MISSING = "?"
COMMENT = "|"  # adult.test begins with "|1x3 Cross validator"
LABEL_SUFFIX = "."  # labels of adult.test end with a full stop

TRAIN, TEST = "adult.data", "adult.test"
OWN_NAMES = {TRAIN: "train", TEST: "test"}  # of a folder of files, or of a .csv or .parquet file
DIGESTS = {  # SHA-256 of the files as UCI publishes them
    TRAIN: "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    TEST: "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
}
ADDRESSES = (  # a file's name is appended; they are tried in this order
    "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/",
    "http://mlr.cs.umass.edu/ml/machine-learning-databases/adult/",
)
