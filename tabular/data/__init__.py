"""The data: which columns there are, where rows come from, how they are read and written."""
