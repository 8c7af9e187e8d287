"""An annotator who knows the truth goes through the loop, round after round: does it pay?

Nothing here segments, trains, scores or judges by itself: that is the code that a running installation uses.
"""
