"""A report for people. In: a report or a history. Out: Markdown and HTML in one file each."""
