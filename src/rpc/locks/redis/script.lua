-- All operations on the locks of one resource.
--
-- KEYS[1]  the holders: a sorted set of "w:id" (at most one, alone) and "r:id", each scored with the microsecond of its expiry.
--          It is also the channel on which changes are published.
-- KEYS[2]  the token given out last; only for a claim that wants one.
-- ARGV     operation, id, time to live in microseconds (0: it does not expire), and "own" if a claim must not overtake others.
--
-- Returns {1 or 0, delay, extra}. For a claim that is refused, delay is how many microseconds the first lock has left, -1 if it does not
-- expire, or -2 if waiting is in vain; extra is 1 if the claim's own id is among the readers. For a granted claim, extra is its token.

local holders, operation, id, ttl = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local writer, reader = 'w:' .. id, 'r:' .. id
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

-- Lua's own conversion would round.
local function digits(number)
    return string.format('%.0f', number)
end

local function announce()
    redis.call('PUBLISH', holders, '')
end

-- Lets the key live as long as the lock that expires last.
local function keep()
    local latest = redis.call('ZRANGE', holders, -1, -1, 'WITHSCORES')[2]
    if latest == 'inf' then
        redis.call('PERSIST', holders)
    elseif latest then
        redis.call('PEXPIREAT', holders, digits(math.ceil(latest / 1000)))
    end
end

-- The new member is added first: memory may be short.
local function hold(member, before)
    redis.call('ZADD', holders, ttl > 0 and digits(now + ttl) or '+inf', member)
    if before then
        redis.call('ZREM', holders, before)
    end
    keep()
end

-- Tokens follow the clock, so that they increase even if the last one is lost.
local function next_token()
    if not KEYS[2] then
        return 0
    end
    local last = tonumber(redis.call('GET', KEYS[2]) or 0) or 0
    local token = math.max(last + 1, now)
    redis.call('SET', KEYS[2], digits(token))
    return token
end

local function refuse()
    local first = redis.call('ZRANGE', holders, 0, 0, 'WITHSCORES')[2]
    local delay = -1
    if first and first ~= 'inf' then
        delay = first - now
    end
    return { 0, delay, redis.call('ZSCORE', holders, reader) and 1 or 0 }
end

redis.call('ZREMRANGEBYSCORE', holders, '-inf', digits(now))
local count = redis.call('ZCARD', holders)
local may_begin = ARGV[4] ~= 'own'

if operation == 'lock' then
    if count == 0 and may_begin then
        local token = next_token()
        hold(writer)
        return { 1, 0, token }
    end
    if count == 1 and redis.call('ZSCORE', holders, reader) then
        local token = next_token()
        hold(writer, reader)
        announce()
        return { 1, 0, token }
    end
    return refuse()
end

if operation == 'read' then
    if redis.call('ZSCORE', holders, reader) then
        return { 0, -2, 1 }
    end
    local first = redis.call('ZRANGE', holders, 0, 0)[1]
    if may_begin and (not first or string.sub(first, 1, 2) == 'r:') then
        local token = next_token()
        hold(reader)
        announce()
        return { 1, 0, token }
    end
    return refuse()
end

if operation == 'release' or operation == 'undo lock' or operation == 'undo read' then
    local removed = 0
    if operation ~= 'undo read' then
        removed = redis.call('ZREM', holders, writer)
    end
    if removed == 0 and operation ~= 'undo lock' then
        removed = redis.call('ZREM', holders, reader)
    end
    if removed == 1 then
        keep()
        announce()
    end
    return { removed, 0, 0 }
end

if operation == 'force' then
    local removed = redis.call('DEL', holders)
    if removed == 1 then
        announce()
    end
    return { removed, 0, 0 }
end

if operation == 'exists' then
    local is_held = redis.call('ZSCORE', holders, writer) or redis.call('ZSCORE', holders, reader)
    if id == '*' then
        is_held = count > 0
    end
    return { is_held and 1 or 0, 0, 0 }
end

if operation == 'ttl' then
    local member = redis.call('ZSCORE', holders, writer) and writer or reader
    if not redis.call('ZSCORE', holders, member) then
        return { 0, 0, 0 }
    end
    hold(member)
    announce()
    return { 1, 0, 0 }
end

return redis.error_reply('ERR unknown operation')
