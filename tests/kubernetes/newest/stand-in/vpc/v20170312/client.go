// Package v20170312 has the calls that flannel makes of a cloud vendor's SDK. None of them works: there is
// no such cloud where tests run.
package v20170312

import "errors"

var errNoCloud = errors.New("this flannel was built without its cloud backends")

// Filter chooses route tables.
type Filter struct {
	Name   *string
	Values []*string
}

// Route is an entry of a route table.
type Route struct {
	RouteId              *uint64
	DestinationCidrBlock *string
	GatewayType          *string
	GatewayId            *string
	RouteType            *string
	Enabled              *bool
}

// RouteTable is a route table.
type RouteTable struct {
	RouteTableId *string
	RouteSet     []*Route
}

// DescribeRouteTablesRequest asks for route tables.
type DescribeRouteTablesRequest struct {
	Filters []*Filter
}

// DescribeRouteTablesResponse answers it.
type DescribeRouteTablesResponse struct {
	Response *struct {
		RouteTableSet []*RouteTable
	}
}

// RoutesRequest asks for routes to be made or removed.
type RoutesRequest struct {
	RouteTableId *string
	Routes       []*Route
}

// RoutesResponse answers it.
type RoutesResponse struct{}

// Client speaks to nobody.
type Client struct{}

// NewClientWithSecretId makes a client.
func NewClientWithSecretId(_, _, _ string) (*Client, error) {
	return new(Client), nil
}

// NewDescribeRouteTablesRequest makes a request.
func NewDescribeRouteTablesRequest() *DescribeRouteTablesRequest {
	return new(DescribeRouteTablesRequest)
}

// NewDeleteRoutesRequest makes a request.
func NewDeleteRoutesRequest() *RoutesRequest {
	return new(RoutesRequest)
}

// NewCreateRoutesRequest makes a request.
func NewCreateRoutesRequest() *RoutesRequest {
	return new(RoutesRequest)
}

// DescribeRouteTables fails.
func (*Client) DescribeRouteTables(*DescribeRouteTablesRequest) (*DescribeRouteTablesResponse, error) {
	return nil, errNoCloud
}

// DeleteRoutes fails.
func (*Client) DeleteRoutes(*RoutesRequest) (*RoutesResponse, error) {
	return nil, errNoCloud
}

// CreateRoutes fails.
func (*Client) CreateRoutes(*RoutesRequest) (*RoutesResponse, error) {
	return nil, errNoCloud
}
