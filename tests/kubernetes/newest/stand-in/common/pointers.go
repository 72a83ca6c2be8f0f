// Package common has what flannel calls of a cloud vendor's SDK, which no test uses.
package common

// StringPtr points to a copy of value.
func StringPtr(value string) *string { return &value }

// BoolPtr points to a copy of value.
func BoolPtr(value bool) *bool { return &value }

// StringPtrs points to a copy of each value.
func StringPtrs(values []string) []*string {
	pointers := make([]*string, len(values))
	for place, value := range values {
		pointers[place] = StringPtr(value)
	}
	return pointers
}
