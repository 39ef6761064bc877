"""Checkpoint to bundle: graph, parity, golden outputs, manifest."""
