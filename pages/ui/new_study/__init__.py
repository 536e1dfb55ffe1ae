"""The form of a new study on the page Train.

form       preset, dataset, and all settings folded
settings   pretraining, arms and their comparison, extractor and machine
networks   the arms in one line, and the list of networks to add to them
analyses   additional analyses
marks      whether marks of the dataset's images are used
"""
