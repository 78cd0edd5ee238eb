"""Claims about the networks and the attacks (sections 3.1 and 3.3)."""

from collections.abc import Iterator

from lib.evidence import intervals, paper, tables
from lib.evidence.claims import ask
from lib.evidence.claims.arms import ATTACKS
from lib.evidence.claims.judging import Answer, Part, Recorded, Shares, fact, fewest_images, shares

published = paper.quoted()


def base_parameters(run: Recorded) -> Iterator[Part]:
    """Count the parameters: the number has to be the same."""
    ours, theirs = run.rows("table_01")["value"].sum(), published["base parameters"]
    yield fact("trainable parameters", f"{ours:,}", ours == theirs, f"{theirs:,.0f}")


def clean_accuracy(run: Recorded) -> Iterator[Part]:
    """Require that the interval of our accuracy reaches the published one.

    And that it does not begin more than the margin below it.
    """
    where = {"arm": "undefended", "test": "clean", "model": "base"}
    ours = run.first_of(("clean_accuracy", {"model": "base"}, {}), ("controls", where, {}))
    theirs = published["base clean accuracy"]
    yield run.reaches("base, clean test images", shares(ours), theirs, ask.as_good)


def no_overfitting(run: Recorded) -> Iterator[Part]:
    """Require that validation images are read no worse than training images are with dropout.

    By the interval over images; and that their loss is lowest in one of the last epochs, as many
    as the paper waits before it stops.
    """
    curves = run.rows("figure_02", model="base")
    means = curves.groupby(["quantity", "part", "epoch"])["value"].mean()
    loss = means["loss", "validation"]
    patience = published["early stopping patience in epochs"]
    late = loss.idxmin() > loss.index.max() - max(1, patience)
    lowest = f"lowest {loss.min():.4f}, epoch {loss.idxmin()} of {loss.index.max()}"
    yield fact("validation loss at the end", f"{loss.iloc[-1]:.4f}", late, lowest)
    reads = curves[curves["quantity"] == "accuracy"]
    if "images" not in reads:
        images = fewest_images(reads.loc[reads["part"] == "validation", "value"])
        reads = reads.assign(images=images)
    at_end = reads[reads["epoch"] == reads["epoch"].max()].groupby("part")
    unseen, seen = (shares(at_end.get_group(part)) for part in ("validation", "training"))
    yield run.compare("validation and training images at the end", unseen, seen, ask.as_good)


def attacked_networks_fail(run: Recorded) -> Iterator[Part]:
    """Require that what is still read is at most the margin above the published number.

    By its interval, so that it may be less.
    """
    for attack, number in (("FGSM", 4), ("PGD", 5)):
        ours = shares(run.rows(f"table_{number:02d}", model="base", epsilon=0.3))
        theirs = published[f"base accuracy under {attack}"]
        yield run.reaches(attack, ours, theirs, ask.little_worse, sign=-1)


def accuracy_falls(run: Recorded) -> Iterator[Part]:
    """Test the trend over the radii by Page's test, the networks as its rows."""
    for attack, rows in run.rows("figure_03").groupby("attack"):
        curves = rows.pivot_table("value", ["model", "seed"], "epsilon").dropna()
        found = intervals.trend(curves)
        answer = {"falls": Answer.YES, "rises": Answer.NO}.get(found.verdict, Answer.OPEN)
        first, last = (tables.percent(curves[end].mean()) for end in curves.columns[[0, -1]])
        what = f"{ATTACKS[str(attack)]}, {len(curves)} networks, {curves.shape[1]} radii"
        yield Part(what, last, answer, f"{found.verdict} (p = {found.p:.1g})", first)


def pgd_is_stronger(run: Recorded) -> Iterator[Part]:
    """Require at every radius that FGSM leaves more than PGD, by however little."""
    sweep = run.rows("figure_03")
    for (epsilon, model), rows in sweep[sweep["epsilon"] > 0].groupby(["epsilon", "model"]):
        cells = {attack: shares(cell) for attack, cell in rows.groupby("attack")}
        if len(cells) == len(ATTACKS):
            what = f"epsilon {epsilon:g}, {model}: after FGSM and after PGD"
            yield run.compare(what, cells["fgsm"], cells["pgd"], ask.ahead)


def _reached(run: Recorded, attack: str, given: str) -> Shares:
    """Return how often a target is reached; each pair of digits has images of its own."""
    rows = run.rows("targeted_rates", attack=attack, loss_input=given)
    found = shares(rows)
    return found._replace(images=found.images * len(rows[["source", "target"]].drop_duplicates()))


def targeted_fgsm(run: Recorded) -> Iterator[Part]:
    """Require that the rate is at most the margin above the published one, by its interval.

    The attack is handed logits, as CleverHans expects; what probabilities give is only shown.
    """
    theirs = published["targeted FGSM success rate"]
    for given in ("logits", "probabilities"):
        part = run.reaches(given, _reached(run, "fgsm", given), theirs, ask.little_worse, sign=-1)
        yield part if given == "logits" else part.shown()


def targeted_pgd(run: Recorded) -> Iterator[Part]:
    """Require that PGD reaches its target more often, by more than the margin, from logits.

    What probabilities give is only shown.
    """
    for given in ("logits", "probabilities"):
        pgd, fgsm = (_reached(run, attack, given) for attack in ("pgd", "fgsm"))
        part = run.compare(f"PGD and FGSM, {given}", pgd, fgsm, ask.better)
        yield part if given == "logits" else part.shown()
