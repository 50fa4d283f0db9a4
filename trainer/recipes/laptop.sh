#!/usr/bin/env bash
# From nothing to a network and its report in under ten minutes on two CPU cores, offline.
#
#     trainer/recipes/laptop.sh
#
# It shows that every part works on your machine; the pictures it makes are not the point. The text encoders are
# untrained stand-ins of SDXL's feature size (--encoder tiny), so the network fits no real checkpoint; the ratings are
# real, a sample of FindingEmo's 25,869. Needs the extra `train`. Run it again and it continues where it stopped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PYTHON=${PYTHON:-python}
DATA=${DATA:-data/laptop}
OUT=${OUT:-runs/laptop}
PAIRS=${PAIRS:-800}
STEPS=${STEPS:-240}
# Idle threads sleep instead of spinning: five times faster where other programs use the cores too.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}

"$PYTHON" -m trainer.prepare --out "$DATA" --encoder tiny --limit "$PAIRS" --validation 0.05

"$PYTHON" -m trainer.train --data "$DATA" --out "$OUT" --resume \
    --width 128 --depth 2 --batch 32 --steps "$STEPS" --validate-every 80 --save-minutes 1 --log-every 10 \
    --ema 0.98 --weight-clip 5

"$PYTHON" -m trainer.report "$OUT"
