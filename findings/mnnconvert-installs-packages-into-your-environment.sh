#!/usr/bin/env bash
# MNN 3.6.1.
# Guess: `mnnconvert`, like any converter, reads a model and writes a model, and leaves the environment as it is.
# So it is: loading the command runs `pip install -U aliyun-log-python-sdk` where that is missing, by os.system and with
# the pip that is first on the PATH, so that a client for sending usage reports and what it needs come into that
# environment, which may be another one than MNN's.
# Seen: 21 packages after `import MNN.tools.mnnconvert` that were not there before, aliyun-log-python-sdk among them.
# In jaxgen: experiments/runtimes calls the converter inside MNN (`_tools.mnnconvert`), which installs nothing.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet MNN==3.6.1 numpy
export PATH="$folder/venv/bin:$PATH"
pip freeze | sort > before
python -c "import _tools" && pip freeze | sort | diff before - # the converter itself installs nothing
python -c "import MNN.tools.mnnconvert" > said 2>&1 || true
pip freeze | sort > after
comm -13 before after | tee new
grep -q "^aliyun-log-python-sdk==" new
[ "$(wc -l < new)" -ge 5 ]
