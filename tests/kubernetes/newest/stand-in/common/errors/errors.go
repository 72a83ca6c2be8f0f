// Package errors has the SDK's type of error.
package errors

// TencentCloudSDKError is an error with a message.
type TencentCloudSDKError struct {
	Message string
}

func (err *TencentCloudSDKError) Error() string {
	return err.Message
}
