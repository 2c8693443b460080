-- The requests of wrk; a line "begin" before the first one; and the result as one line of JSON.
-- wrk ... -s wrk.lua URL -- [depth=N] [close] [post=FILE] [expect=FILE]
--   depth=N      requests in each batch (1)
--   close        one request for each connection
--   post=FILE    a POST of this file as JSON
--   expect=FILE  compare every response's body with this file, which costs wrk more than the request itself

local threads = {}

local function contents(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  local depth = 1
  wrong = 0
  for _, argument in ipairs(arguments) do
    local name, value = argument:match("^(%w+)=?(.*)$")
    if name == "depth" then
      depth = tonumber(value)
    elseif name == "close" then
      wrk.headers["Connection"] = "close"
    elseif name == "post" then
      wrk.method, wrk.body = "POST", contents(value)
      wrk.headers["Content-Type"] = "application/json"
    elseif name == "expect" then
      local expected = contents(value)
      function response(status, headers, body)
        if status ~= 200 or body ~= expected then wrong = wrong + 1 end
      end
    else
      error("unknown argument: " .. argument)
    end
  end
  -- Defined only here: wrk calls such a function for each batch, and sends what it builds itself without a call.
  if depth > 1 then
    local batch = string.rep(wrk.format(), depth)
    function request() return batch end
  end
  io.write("begin\n")
  io.flush()
end

function done(summary, latency)
  local errors, wrong = summary.errors, 0
  for _, thread in ipairs(threads) do wrong = wrong + thread:get("wrong") end
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "bytes": %d, "wrong": %d, "connect_errors": %d, "read_errors": %d, "write_errors": %d, ' ..
    '"status_errors": %d, "timeouts": %d, "p50_us": %.1f, "p99_us": %.1f, "p999_us": %.1f}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, wrong, errors.connect, errors.read, errors.write, errors.status,
    errors.timeout, latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
  io.flush()
end
