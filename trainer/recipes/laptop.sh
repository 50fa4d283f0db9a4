#!/usr/bin/env bash
# From nothing to a network that follows valence and arousal, and its report, in minutes on two CPU cores, offline.
#
#     trainer/recipes/laptop.sh
#
# The text encoders are the miniature's own, which know what its captions mean, so the network learns the sign of both
# axes and works in ComfyUI with Load Miniature; with any real checkpoint it does not. The pairs are the 2,000 captions
# that come with the miniature. Needs the extras `train` and `miniature`. Run it again and it continues where it stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PYTHON=${PYTHON:-python}
MINIATURE=${MINIATURE:-runs/miniature}
DATA=${DATA:-data/laptop}
OUT=${OUT:-runs/laptop}
PAIRS=${PAIRS:-2000}
STEPS=${STEPS:-480}
# Idle threads sleep instead of spinning: five times faster where other programs use the cores too.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

[ -d "$MINIATURE/generator" ] || "$PYTHON" -m trainer.miniature restore --out "$MINIATURE"

# Another seed than the miniature's, whose own split left no validation prompts in this file.
"$PYTHON" -m trainer.prepare --out "$DATA" --pairs miniature/pairs.csv --encoder "$MINIATURE/generator" \
    --limit "$PAIRS" --validation 0.1 --seed 1

"$PYTHON" -m trainer.train --data "$DATA" --out "$OUT" --resume \
    --scale 1 --width 128 --depth 2 --emotion-tokens 8 --emotion-hidden 64 --batch 32 --steps "$STEPS" \
    --schedule cosine --clip-norm 1 --validate-every 80 --save-minutes 1 --log-every 10

"$PYTHON" -m trainer.report "$OUT"
