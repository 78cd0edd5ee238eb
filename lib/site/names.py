"""Which names of a notebook some code binds, and which it uses: what lies between its cells."""

import symtable


def plain(source: str) -> str:
    """Return the code of a cell as plain Python, without IPython's % and !."""
    from IPython.core.inputtransformer2 import TransformerManager  # slow, and few commands need it

    return TransformerManager().transform_cell(source)


def bound(code: str) -> set[str]:
    """Return the names that some code binds outside of its functions and comprehensions."""
    symbols = symtable.symtable(code, "cell", "exec").get_symbols()
    return {each.get_name() for each in symbols if each.is_assigned() or each.is_imported()}


def used(code: str) -> set[str]:
    """Return the names of the notebook that some code uses, in its functions too."""
    return _used(symtable.symtable(code, "cell", "exec"))


def _used(table: symtable.SymbolTable) -> set[str]:
    outermost = table.get_type() == "module"
    own = {
        each.get_name()
        for each in table.get_symbols()
        if each.is_referenced() and (outermost or each.is_global())
    }
    return own.union(*map(_used, table.get_children()))
