"""The members of the family, one file for each, named as its function. Their public names are those of `simdrop`."""
