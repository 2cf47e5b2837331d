"""Batching of requests into shared calls of a model: queues, wait policy and deadlines."""
