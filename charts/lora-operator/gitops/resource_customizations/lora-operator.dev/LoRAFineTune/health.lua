-- Health of LoRAFineTune and LoRASweep, by the conditions that kstatus reads.
local conditions = {}
if obj.status ~= nil then
  for _, condition in ipairs(obj.status.conditions or {}) do
    conditions[condition.type] = condition
  end
end

local function holds(type)
  return conditions[type] ~= nil and conditions[type].status == "True"
end

local stalled = conditions.Stalled
-- Of a spec about which the operator can decide nothing, only this condition tells; status.observedGeneration does not.
if holds("Stalled") and stalled.observedGeneration == obj.metadata.generation then
  return {status = "Degraded", message = stalled.reason .. ": " .. stalled.message}
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation or conditions.Ready == nil then
  return {status = "Progressing", message = "Waiting for lora-operator"}
end

local message = conditions.Ready.reason .. ": " .. conditions.Ready.message
if holds("Ready") then
  return {status = "Healthy", message = message}
end
if holds("Suspended") then
  return {status = "Suspended", message = message}
end
return {status = "Progressing", message = message}
