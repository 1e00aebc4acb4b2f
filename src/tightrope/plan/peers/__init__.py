"""Other ways to decide, of our own making after what their authors published, for a plan to be held against.

In go arrays that any of them understands; out come counts of machines and who serves what. To extend: add a module with one
``solve_…`` function.
"""
