"""nnsight's batched trace of one `invoke` a head, timed each time a line comes in.

It is run by the Python of another environment as `nnsight_trace.py DIRECTORY N_TOKENS`, and knows
nothing of the engine.

Every invoke zeroes one head's slice of what goes into the output projection and keeps the logits'
log-softmax at the last position; all are one batch, as nnsight makes it. Answers, a line each: wall
and processor seconds.
"""

import sys
import time
import warnings

import torch
from nnsight import LanguageModel
from transformers import AutoModelForCausalLM, AutoTokenizer

warnings.simplefilter("ignore")


def main(directory: str, n_tokens: int) -> None:
    hf = AutoModelForCausalLM.from_pretrained(directory).eval()
    model = LanguageModel(hf, tokenizer=AutoTokenizer.from_pretrained(directory))
    width = hf.config.head_dim
    ids = torch.arange(n_tokens)[None]

    def sweep() -> None:
        with torch.no_grad(), model.trace() as tracer:
            found = [].save()  # type: ignore[attr-defined]  # nnsight's own
            for layer in range(hf.config.num_hidden_layers):
                for head in range(hf.config.num_attention_heads):
                    with tracer.invoke(ids):
                        columns = slice(head * width, (head + 1) * width)
                        model.model.layers[layer].self_attn.o_proj.input[:, :, columns] = 0
                        found.append(model.lm_head.output[:, -1].log_softmax(-1))

    print("ready", flush=True)
    for _ in sys.stdin:
        wall, processor = time.perf_counter(), time.process_time()
        sweep()
        print(time.perf_counter() - wall, time.process_time() - processor, flush=True)


main(sys.argv[1], int(sys.argv[2]))
