"""Many dubs: which ones, in what order and where they are done, and what became of each (docs/batch.md).

`pairing` and `readers` find the jobs, `ledger` knows what became of them before, an `executor` does them on
this machine or on others, `runner` leads.
"""
