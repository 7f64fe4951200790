"""Measures llama.cpp through the package llama-cpp-python: prompt and generation speed of one GGUF.

    python peer.py MODEL --prompt 512 --generate 128 --threads 2

Prints one JSON document in the shape of `lmx bench --json`. Random token ids, greedy, no sampling in the timed part:
the same work as llama-bench's pp and tg tests.
"""
import argparse
import ctypes
import json
import random
import time

import llama_cpp


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=1)
    arguments = parser.parse_args()

    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(arguments.model.encode(), llama_cpp.llama_model_default_params())
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = arguments.prompt + arguments.generate + 64
    settings.n_batch = settings.n_ubatch = max(512, arguments.prompt)
    settings.n_threads = settings.n_threads_batch = arguments.threads
    context = llama_cpp.llama_init_from_model(model, settings)
    memory = llama_cpp.llama_get_memory(context)
    pieces = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    dice = random.Random(1)

    def step(tokens):
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(tokens))) != 0:
            raise SystemExit("llama_decode failed")
        llama_cpp.llama_synchronize(context)

    def prompt_run():
        llama_cpp.llama_memory_clear(memory, True)
        tokens = [dice.randrange(pieces) for _ in range(arguments.prompt)]
        start = time.perf_counter()
        step(tokens)
        return arguments.prompt / (time.perf_counter() - start)

    def generate_run():
        llama_cpp.llama_memory_clear(memory, True)
        step([dice.randrange(pieces)])
        start = time.perf_counter()
        for _ in range(arguments.generate):
            step([dice.randrange(pieces)])
        return arguments.generate / (time.perf_counter() - start)

    prompt_run()  # warm-up
    results = {"prompt": [prompt_run() for _ in range(arguments.repetitions)]}
    generate_run() if arguments.generate <= 16 else step([1])
    results["generate"] = [generate_run() for _ in range(arguments.repetitions)]
    print(json.dumps({"engine": "llama.cpp", "version": llama_cpp.__version__, "threads": arguments.threads,
                      "system": llama_cpp.llama_print_system_info().decode().strip(), "tokens_per_second": results}))


main()
