"""The paper, stage by stage: data, networks, attacks, filters, splitting, training, evaluation."""
