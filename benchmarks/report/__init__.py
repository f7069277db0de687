"""Result files as one page: tables and charts of several servers side by side, as HTML and as Markdown."""
