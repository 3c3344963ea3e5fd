"""The rival of benchmarks/click.py: the same question with Streamlit's own widgets."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import streamlit as st

import engine

e = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4")
shape = engine.load(e.model).shape
off = []
for layer in range(shape.n_layers):
    for head, column in enumerate(st.columns(shape.n_heads)):
        if column.checkbox(f"L{layer}H{head}"):
            off.append(f"{layer}.{head}")
result = engine.next_token(engine.Experiment(e.model, e.prompt, ablations=" ".join(off)), k=10)
st.table({"token": result.ablated.tokens, "prob": result.ablated.probs.tolist()})
