"""How much of the answer circuits of every size keep: a ranking's faithfulness as a curve."""
