using System.Net;
using System.Net.Sockets;

namespace StreamsHost.Commands;

/// <summary>What the system's errors mean where the address is a path.</summary>
internal static class UnixSockets
{
    /// <summary>The message about a connection that failed. A path that is not there has the number of a network's error.</summary>
    public static string Message(SocketException error, EndPoint endPoint) =>
        endPoint is UnixDomainSocketEndPoint && error.SocketErrorCode == SocketError.AddressNotAvailable ? "there is no such socket." : error.Message;
}
