"""Wrong records: each must stop its chapter by the statement that is named."""

from collections.abc import Callable

import pandas as pd

Change = Callable[[pd.DataFrame], pd.DataFrame]
Plant = tuple[str, str, Change, str]
"""A chapter, a record, what is wrong with it, and words of the statement that must then fail."""


def where(query: str, **columns: object) -> Change:
    """Return a change of the rows that a query finds."""

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        found = rows.query(query).index
        assert len(found), f"no row has {query}"
        rows = rows.copy()
        for name, value in columns.items():
            rows.loc[found, name] = value
        return rows

    return change
