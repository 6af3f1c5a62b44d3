module lora-operator.dev/cluster/tools/coredns

go 1.26
