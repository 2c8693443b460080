using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Tls;

/// <summary>Why a handshake has failed because of the peer.</summary>
/// <param name="Reason">The close reason.</param>
/// <param name="Explanation">The same in words; may contain text that the peer chose.</param>
/// <param name="ServerName">The name that the client asked for, as it sent it; null where it asked for none, or has sent no ClientHello.</param>
internal sealed record TlsFailure(ConnectionEndReason Reason, string Explanation, string? ServerName)
{
    /// <summary>The failure; null where the peer has not caused the error.</summary>
    public static TlsFailure? From(Exception error, TlsAttempt attempt) => error switch
    {
        AuthenticationException when attempt.Verdict != ConnectionEndReason.None => new(attempt.Verdict, attempt.Explanation!, attempt.ServerName),
        AuthenticationException { InnerException: OperationCanceledException } => new(ConnectionEndReason.TlsHandshakeTimeout, error.Message, attempt.ServerName),
        AuthenticationException => new(ConnectionEndReason.TlsHandshakeFailed, error.GetBaseException().Message, attempt.ServerName),
        IOException or ConnectionAbortedException => new(ConnectionEndReason.TlsHandshakeFailed, error.Message, attempt.ServerName),
        _ => null,
    };
}
