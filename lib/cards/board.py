"""A scoreboard: the networks of a class, each attacked anew on images that nobody handed out."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError
from scipy import stats  # type: ignore[import-untyped]

from lib.cards.card import TEMPLATES, Card, Say, Terms, evaluate
from lib.compute.parameters import RefusedError
from lib.evidence import records

BEYOND_CHANCE = 0.001
"""A card that claims more is taken for invented where chance does so more rarely."""


class Entry(BaseModel):
    """One network of the class.

    Attributes
    ----------
    place
        In the ranking, from 1; None for what cannot be ranked.
    name
        Of its file, within the folder.
    card
        Computed here; None if the file was refused.
    refused
        Why, in one line.
    remarks
        On the card that was handed in with it, and on its like.
    """

    place: int | None = None
    name: str
    card: Card | None = None
    refused: str = ""
    remarks: list[str] = []


def _remarks(handed_in: Path, card: Card) -> list[str]:
    """Say where a card that was handed in does not fit what was computed here."""
    try:
        claimed = Card.model_validate_json(handed_in.read_bytes())
    except FileNotFoundError:
        return ["no card was handed in with it"]
    except ValidationError:
        return ["the card that was handed in cannot be read"]
    remarks = []
    if claimed.sha256 != card.sha256:
        remarks.append("its card is of another file")
    compared = ["clean"]
    ours, theirs = card.terms, claimed.terms
    if (ours.epsilon, ours.dataset, ours.quick) == (theirs.epsilon, theirs.dataset, theirs.quick):
        compared.append("worst_case")
    else:
        remarks.append("its card was made under other terms")
    for quantity in compared:
        shares = [getattr(claimed, quantity), getattr(card, quantity)]
        counts = [theirs.images, ours.images]
        right = [round(share * count) for share, count in zip(shares, counts, strict=True)]
        table = [right, [count - hits for count, hits in zip(counts, right, strict=True)]]
        if stats.fisher_exact(table, alternative="greater").pvalue < BEYOND_CHANCE:
            remarks.append(
                f"its card claims {shares[0]:.1%} ({quantity.replace('_', ' ')}), "
                f"and {shares[1]:.1%} were found here"
            )
    return remarks


def judged(folder: Path, terms: Terms, say: Say = lambda line: None) -> list[Entry]:
    """Attack every network in a folder, and rank them.

    Parameters
    ----------
    folder
        ``.keras`` files, in it or in folders of it; beside ``NAME.keras`` may lie its
        ``NAME.card.json``.
    terms
        The same for all of them.
    say
        Gets a line for each network, and for each of its rungs.

    Returns
    -------
    list of Entry
        By worst case, then by clean accuracy. After them, without a place, networks whose sanity
        checks say that their gradients mislead, for which the worst case means nothing, and then
        files that hold no network.

    Raises
    ------
    RefusedError
        There is none.
    """
    files = sorted(folder.rglob("*.keras"))
    if not files:
        raise RefusedError(f"{folder}: there is no .keras file in it")
    entries: list[Entry] = []
    for number, path in enumerate(files, start=1):
        name = path.relative_to(folder).as_posix()
        say(f"{number} of {len(files)}: {name}")
        try:
            card = evaluate(path, terms, say)
        except RefusedError as error:
            reason = str(error).removeprefix(f"{path}: ")
            entries.append(Entry(name=name, refused=reason))
            continue
        remarks = _remarks(path.with_name(f"{path.stem}.card.json"), card)
        same = [other.name for other in entries if other.card and other.card.sha256 == card.sha256]
        remarks += [f"the same file as {other}" for other in same]
        entries.append(Entry(name=name, card=card, remarks=remarks))

    def order(entry: Entry) -> tuple[float, ...]:
        card = entry.card
        return (2,) if card is None else (bool(card.masked), -card.worst_case, -card.clean)

    entries.sort(key=order)
    ranked = [entry for entry in entries if entry.card and not entry.card.masked]
    for place, entry in enumerate(ranked, start=1):
        entry.place = place
    return entries


def write(folder: Path, entries: Sequence[Entry], terms: Terms) -> Path:
    """Write the scoreboard into a folder, as a page that needs no network; return its file."""
    page = folder / "scoreboard.html"
    template = TEMPLATES.get_template("board.html.jinja")
    records.write(page, template.render(entries=entries, terms=terms))
    return page
