"""One feature: the tokens it promotes, where in a text it is strong, and how it is forced."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state
from pages._parts.boxes import written
from pages._parts.features.health import texts_form
from pages._parts.layout import errors_shown
from pages._parts.neurons.contexts import contexts
from pages._parts.steering.making import steer_along
from pages._parts.table import downloads, show_rows
from pages._parts.text import plain, visible
from pages._parts.turning import turn_to

_TOKENS, _PROMPTS = 10, 20


def one(reading: state.Reading, sae: engine.Sae) -> None:
    """The whole view: which feature, its tokens, and its contexts with what can be done with it."""
    e = reading.experiment
    with errors_shown():
        best = "" if written("feature") else _strongest(e, sae)
        st.text_input(
            "Feature",
            key="feature",
            placeholder=best,
            width=160,
            help=f"f{sae.layer}.12, or 12; empty, the strongest at the prompt's last token.",
        )
        feature = written("feature") or best
        says = engine.feature_tokens(
            e.model, sae, [feature], _TOKENS, view=f"{state.view()} one feature"
        )
        ((site, numbers),) = says.items()
        left, right = st.columns([1, 1.2], gap="medium")
        with left:
            _tokens(site, numbers)
            st.button(
                "Steer along it",
                on_click=_steer,
                args=(sae, site),
                icon=":material/assistant_direction:",
                help="Its direction becomes one of the experiment's, and the Steering page opens.",
            )
        with right, errors_shown():
            texts = texts_form(_PROMPTS)
            given = [text for text in texts if text.strip()]
            question = engine.FindFeatureContexts(e.model, sae, site, texts) if given else None
            call = f"feature_contexts({e.model!r}, {str(sae)!r}, {str(site)!r}, "
            contexts(reading, site, question, call, sae)
        _downloads(e, sae, site, numbers)


def _steer(sae: engine.Sae, site: engine.Feature) -> None:
    """Have its direction in the experiment, and open the page that steers along it."""
    steer_along(sae, site)
    turn_to("steering")


def _strongest(e: engine.Experiment, sae: engine.Sae) -> str:
    """The feature strongest at the prompt's end; the first there is where none can be told."""
    try:
        result = engine.active_features(e.clean, sae, 50, view=f"{state.view()} strongest")
    except engine.EngineError:
        return str(sae.feature(0))
    last = result.strongest(-1, 1) or result.features
    return str(last[0] if last else sae.feature(0))


def _tokens(site: engine.Feature, numbers: engine.TokenNumbers) -> None:
    """The tokens it promotes and demotes."""
    st.subheader(f"{site}, by its direction", anchor=False)
    show_rows(
        {
            "promotes": [visible(text) for text in numbers.top_texts],
            "+": [round(float(value), 2) for value in numbers.top],
            "demotes": [visible(text) for text in numbers.bottom_texts],
            "−": [round(float(value), 2) for value in numbers.bottom],
        }
    )
    st.caption(
        plain(
            "Logits above their mean over all tokens per unit of the feature, in a stream of size "
            f"1 (spread over all tokens {numbers.spread:.2f}): by its direction, the final norm "
            "and the unembedding alone, whatever later layers make of it."
        )
    )


def _downloads(
    e: engine.Experiment, sae: engine.Sae, site: engine.Feature, numbers: engine.TokenNumbers
) -> None:
    """The tokens' numbers, and the Python that gives them."""
    downloads(
        [
            {"feature": str(site), "end": end, "rank": i + 1, "token": text, "value": float(value)}
            for end, texts, values in (
                ("top", numbers.top_texts, numbers.top),
                ("bottom", numbers.bottom_texts, numbers.bottom),
            )
            for i, (text, value) in enumerate(zip(texts, values, strict=True))
        ],
        f"feature-{site}",
        "import switchboard as engine\n\n"
        f"print(engine.feature_tokens({e.model!r}, {str(sae)!r}, [{str(site)!r}], {_TOKENS}))",
        key="feature",
    )
