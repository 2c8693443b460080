using System.Text;

namespace ByteStreams.Transport.Text;

/// <summary>Reasons as logs, metrics and traces write them: <c>closed_by_peer</c>.</summary>
internal static class EndReasonText
{
    private static readonly string[] Texts = [.. Enum.GetValues<ConnectionEndReason>().Select(reason => SnakeCase(reason.ToString()))];

    public static string Of(ConnectionEndReason reason) => Texts[(int)reason];

    /// <summary>
    /// Whether the connection never reached its handler because a limit, a list or the rules for client certificates refuse it. A protocol error
    /// is no refusal.
    /// </summary>
    public static bool IsRefusal(ConnectionEndReason reason) =>
        reason is (>= ConnectionEndReason.RefusedTotal and <= ConnectionEndReason.RefusedUser)
            or ConnectionEndReason.ProxyUntrusted
            or ConnectionEndReason.TlsHandshakeLimit
            or (>= ConnectionEndReason.TlsCertificateMissing and <= ConnectionEndReason.TlsNameNotAllowed)
            or ConnectionEndReason.RefusedHandlersBlocked or ConnectionEndReason.RefusedDescriptors;

    private static string SnakeCase(string name)
    {
        var text = new StringBuilder();
        foreach (char letter in name)
        {
            if (char.IsUpper(letter) && text.Length > 0)
            {
                text.Append('_');
            }

            text.Append(char.ToLowerInvariant(letter));
        }

        return text.ToString();
    }
}
