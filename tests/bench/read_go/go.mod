// SPDX-License-Identifier: Apache-2.0
module envdial.invalid/read

go 1.19

require github.com/envdial/envdial/clients/go v0.0.0

replace github.com/envdial/envdial/clients/go => ../../../clients/go
