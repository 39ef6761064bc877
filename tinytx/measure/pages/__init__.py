"""Reports as pages: one self-contained HTML file, Markdown for a pull request, a trend."""
