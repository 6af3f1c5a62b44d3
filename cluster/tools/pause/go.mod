module lora-operator.dev/cluster/tools/pause

go 1.24
