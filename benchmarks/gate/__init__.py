"""Whether this tree is slower, dearer or worse than the commit that ``benchmarks/baseline.json`` names.

Both are built and put under the same load in the same run, in turns, so that whatever else the machine does hits both.
"""
