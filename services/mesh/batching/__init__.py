"""Batching across requests: what waits when a device frees becomes the next batch, without any timer.

A `Call` is one caller's items, each a `Job` with a priority and a deadline; a `Stage` is threads that work on
batches of jobs; `Admission` refuses at once what could not be done in time. The shape is that of the batching
in huggingface/text-embeddings-inference: one owner of the queue, departed callers dropped when a batch forms,
counted where the decision is made.
"""
