"""Requests that share calls of a model: queues, the wait for more, deadlines."""
