"""The tables and figures of the paper, made again from studies and imported rows.

Each file is a table or a figure; `write.py` writes those that suit, and an index that says why others are not made.
"""
