-- SPDX-License-Identifier: MIT
--
-- A script that fails on purpose, on line 9: a test of what the errors of scripts name.

if not read_event() then
    return {'NOCONFIG'}
end

return nowhere.there
