#!/usr/bin/env bash
# What has to be seen on a GPU, with a random model of Qwen3-4B's shape: bash tests/gpu/check.sh QWEN3_FOLDER [PART ...]
# Parts: tests captured learning train rollout introspection serving. Each is told with its seconds; one that fails does not stop the rest.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
like=$1
shift
parts=${*:-tests captured learning train rollout introspection serving}
work=${TINA_GPU_WORK:-/tmp/tina-gpu}
export PYTHONPATH=python${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
mkdir -p "$work"
failed=0

part() {
    local name=$1 began=$SECONDS
    shift
    [[ " $parts " == *" $name "* ]] || return 0
    printf '\n== %s\n' "$*"
    "$@" || { failed=1; printf 'FAILED: %s\n' "$name"; }
    printf '(%d s)\n' $((SECONDS - began))
}

serving() {
    python3 -m tina_azr serve --model "$work/model" --set model.dtype=bfloat16 --port 8765 --quiet >"$work/serve.log" 2>&1 &
    local server=$!
    for _ in $(seq 120); do
        curl -sf http://127.0.0.1:8765/ready >/dev/null && break
        sleep 1
    done
    python3 -m tina_azr.benchmarks.serve --url http://127.0.0.1:8765 --model model --requests 32 --rounds 1 --max-tokens 48
    local status=$?
    kill $server # SIGINT is ignored by what a script starts in the background, until it has loaded
    wait $server
    [ $status -eq 0 ] || cat "$work/serve.log"
    return $status
}

python3 -m tina_azr doctor || true
[ -f "$work/model/config.json" ] || python3 tests/gpu/random_qwen3.py "$like" "$work/model" --heads
part tests python3 -m pytest -q -x --timeout=120 -p no:cacheprovider tests/unit/rollout tests/unit/model tests/unit/engine
part captured python3 tests/gpu/captured_step.py "$work/model" --slots 32 --tokens 128
part captured python3 tests/gpu/captured_step.py "$work/model" --slots 64 --tokens 256 --dtype bfloat16 --temperature 1
for dtype in float32 bfloat16; do
    part learning python3 tests/gpu/learning_step.py "$work/model" configs/qwen3_4b_thinking.yaml --set model.dtype=$dtype
done
part train python3 -m tina_azr train --run-dir "$work/run" --steps 2 --set heldout.per_cell=4
part train python3 -m tina_azr train --resume "$work/run" --steps 3
part rollout python3 -m tina_azr.benchmarks.rollout "$work/model" --prompts 16 --group 4 --rounds 1
part rollout python3 -m tina_azr.benchmarks.rollout "$work/model" --prompts 16 --group 4 --rounds 1 --dtype bfloat16
part introspection python3 -m tina_azr.benchmarks.engine "$work/model" --rounds 3 --completions 0 --dtype bfloat16
part serving serving
exit $failed
