"""The price book on the terminal and as JSON: one module an answer of ``clouds/search``, each with one ``print_…``.

Tables are fitted to the console: where it is narrow the columns that matter least are left out, and a line says which. To show
another answer: a module with its columns, most of them from ``figures``.
"""
