-- wrk's requests: POST /generate of another seed each time; what else is asked for comes as JSON members on the command
-- line. When it is done, one line of JSON on stderr.
local number, members = 0, ""

function setup(thread)
  number = number + 1
  thread:set("number", number)
end

function init(args)
  members = args[1] and (", " .. args[1]) or ""
  seed = number * 100000000
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  seed = seed + 1
  return wrk.format(nil, nil, nil, '{"seed": ' .. seed .. members .. "}")
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"answers": %d, "seconds": %f, "refused": %d, "broken": %d, "p50_ms": %f, "p99_ms": %f, "worst_ms": %f}\n',
    summary.requests, summary.duration / 1e6, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
end
