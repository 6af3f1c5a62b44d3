module lora-operator.dev/cluster/tools/kwok

go 1.26
