#!/usr/bin/env bash
# Stands for your trainer: reads weights from the environment, and prints metrics as JSON. The numbers are made up.
set -euo pipefail
awk -v code="$WEIGHT_CODE" -v chat="$WEIGHT_CHAT" -v web="$WEIGHT_WEB" 'BEGIN {
    printf "{\"code\": %.4f, \"chat\": %.4f}\n", 0.5 * code ^ 0.4, 0.3 + 0.4 * chat ^ 0.4 * (1 - code / 2) + 0.1 * web
}'
