"""The sections of Compare: each shows one part of a finished study, and computes nothing."""
