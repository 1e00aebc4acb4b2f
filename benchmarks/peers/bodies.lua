-- wrk's requests: the lines of a file as bodies, one after another. Arguments: FILE PATH [HEADER VALUE]...
local requests, place = {}, 0

function init(arguments)
  local headers = {["content-type"] = "application/json"}
  for index = 3, #arguments, 2 do headers[arguments[index]] = arguments[index + 1] end
  for line in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", arguments[2], headers, line)
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end

function done(summary, latency, _)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    'RESULT {"per_s": %f, "p50_ms": %f, "p95_ms": %f, "requests": %d, "failed": %d}\n',
    (summary.requests - errors.status) / (summary.duration / 1e6), latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    summary.requests, failed))
end
