"""Results that others published, made again from the real inputs under the others' own rules.

These rules are not Weir's: each module says whose they are, in what they differ, and where they were read.
"""
