"""What is passed on and kept. In: figures of worker processes. Out: tasks, answers and reports."""
