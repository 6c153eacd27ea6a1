from __future__ import annotations

import json
from pathlib import Path

from services.trainer import cards
from services.trainer.cards import Card
from services.trainer.heads import Recipe


def test_a_card_is_written_for_programs_and_for_people(tmp_path: Path) -> None:
    """Digests, data, recipe and figures are in both files."""
    recipe = Recipe(epochs=3, batch=4, learning_rate=0.1, weight_decay=0.2, dropout=0.3)
    card = Card(
        title="Heads",
        digests={"head.safetensors": "f00d"},
        trunk="beef" * 16,
        photos={"shop": 1234},
        held_out="A tenth was held out.",
        shipped="Trained on all.",
        recipes={"dual encoder": recipe},
        figures={"Held-out products": {"R@1": 0.39812}},
    )
    cards.write(card, tmp_path)
    assert (
        json.loads((tmp_path / "model_card.json").read_text())["figures"]["Held-out products"]["R@1"]
        == 0.39812
    )
    text = (tmp_path / "model_card.md").read_text()
    for part in (
        "| shop | 1,234 |",
        "| R@1 | 0.398 |",
        "`f00d`",
        "`beefbeefbeef`",
        "epochs 3",
        "A tenth was held out.",
    ):
        assert part in text
