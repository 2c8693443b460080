using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>A handshake failure that the peer caused.</summary>
/// <param name="Reason">The close reason.</param>
/// <param name="Explanation">The reason in words; may contain text that the peer sent.</param>
/// <param name="ServerName">The server name that the client sent (SNI); null if it sent none or no ClientHello.</param>
internal sealed record TlsFailure(ConnectionCloseReason Reason, string Explanation, string? ServerName)
{
    /// <summary>Classifies an error of a handshake. Returns null if the peer has not caused it.</summary>
    public static TlsFailure? From(Exception error, TlsHandshakeContext handshake) => error switch
    {
        AuthenticationException when handshake.Rejection != ConnectionCloseReason.None => new(handshake.Rejection, handshake.Explanation!, handshake.ServerName),
        AuthenticationException { InnerException: OperationCanceledException } => new(ConnectionCloseReason.TlsHandshakeTimeout, error.Message, handshake.ServerName),
        AuthenticationException => new(ConnectionCloseReason.TlsHandshakeFailed, error.GetBaseException().Message, handshake.ServerName),
        IOException or ConnectionAbortedException => new(ConnectionCloseReason.TlsHandshakeFailed, error.Message, handshake.ServerName),
        _ => null,
    };
}
