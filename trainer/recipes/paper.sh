#!/usr/bin/env bash
# Every setting as published: Dang et al., ICCV 2025, arXiv 2501.05710.
#
#     trainer/recipes/paper.sh data/paper                 # one GPU
#     GPUS=2 trainer/recipes/paper.sh data/paper runs/two # two, as the authors had; the global batch stays 768
#
# The data folder is made from the authors' own pairs, which each user downloads (docs/training.md):
#     python -m trainer.prepare --out data/paper --pairs prompt_mapping.csv --encoder sd_xl_base_1.0.safetensors
#
# Written out although most are the defaults, so that this file is the record. Not part of the method: the arithmetic
# (bfloat16 autocast, compiled; use PRECISION=float32 to do without) and how often it logs and saves.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

PYTHON=${PYTHON:-python}
GPUS=${GPUS:-1}
PRECISION=${PRECISION:-bfloat16}
DATA=${1:-data/paper}
OUT=${2:-runs/paper}

"$PYTHON" -m torch.distributed.run --standalone --nproc-per-node "$GPUS" -m trainer.train \
    --data "$DATA" --out "$OUT" --resume \
    --scale 1.5 --density-power 1 --bandwidth scaled --weight-clip 0 --preserve 0 \
    --block paper --width 768 --depth 12 --emotion-tokens 16 --emotion-hidden 256 --dropout 0.1 \
    --epochs 200 --batch 768 --lr 1e-3 --weight-decay 1e-5 --warmup 0 --schedule constant --clip-norm 0 --ema 0 \
    --precision "$PRECISION" --compile "${@:3}"

"$PYTHON" -m trainer.report "$OUT"
