using System.Net;
using ByteStreams;

namespace StreamsHost.Admin;

/// <summary>
/// Protects the HTTP side, which has no authentication, from other web sites: response headers keep a browser from showing them its content, and
/// requests that a browser marks as cross-site are rejected.
/// </summary>
internal sealed class RequestGuard(RequestDelegate next, AdminOptions options, ILogger<RequestGuard> logger)
{
    /// <summary>Nothing but what this host itself sends: no script or style in the page's own text, no frames, no forms, no text that becomes markup.</summary>
    private const string ContentPolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

    public Task InvokeAsync(HttpContext context)
    {
        IHeaderDictionary headers = context.Response.Headers;
        headers.ContentSecurityPolicy = ContentPolicy;
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Opener-Policy"] = "same-origin";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        headers.CacheControl = "no-store";
        return (MisdirectedBy(context) ?? RefusedBy(context)) is (int status, string reason)
            ? RefuseAsync(context, status, reason)
            : next(context);
    }

    /// <summary>Why the name that was asked for is none of this host's; null where it is.</summary>
    private (int, string)? MisdirectedBy(HttpContext context)
    {
        // A browser does not reach a Unix socket, and an address that others reach is asked for by whatever name they know.
        bool matters = context.Connection.LocalIpAddress is IPAddress local
            && (IPAddress.IsLoopback(local) || options.AllowedHosts.Count > 0 || IsChange(context));
        HostString name = context.Request.Host;
        string host = name.Host;

        // A browser always sends the name: a request without one is a program's, such as HAProxy's httpchk.
        bool isProbe = !name.HasValue && !IsChange(context);
        return !matters || isProbe || IsOwn(host) ? null : (
            StatusCodes.Status421MisdirectedRequest,
            $"'{LogText.Escape(host)}' is not a name of this page. Ask for its address, or add the name to {AdminOptions.Section}:{nameof(AdminOptions.AllowedHosts)}.");
    }

    /// <summary>Why a request that would change something is not listened to; null where it is, and for all others.</summary>
    private (int, string)? RefusedBy(HttpContext context)
    {
        if (!IsChange(context))
        {
            return null;
        }

        if (!options.AllowChanges)
        {
            return (StatusCodes.Status403Forbidden, $"Changes are not allowed here. Set {AdminOptions.Section}:{nameof(AdminOptions.AllowChanges)} to true.");
        }

        string origin = context.Request.Headers.Origin.ToString();
        string site = context.Request.Headers["Sec-Fetch-Site"].ToString();
        bool isOwn = (origin.Length == 0 || string.Equals(origin, $"{context.Request.Scheme}://{context.Request.Host}", StringComparison.OrdinalIgnoreCase))
            && (site.Length == 0 || site == "same-origin");
        return isOwn ? null : (StatusCodes.Status403Forbidden, "The request comes from another web site. Only the status page itself, or a program, may change something.");
    }

    private static bool IsChange(HttpContext context) => !HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method);

    private bool IsOwn(string host) =>
        IPAddress.TryParse(host, out _)
        || string.Equals(host, "localhost", StringComparison.OrdinalIgnoreCase)
        || options.AllowedHosts.Contains(host, StringComparer.OrdinalIgnoreCase);

    private Task RefuseAsync(HttpContext context, int status, string reason)
    {
        AdminLog.Refused(logger, AdminClient.Of(context), reason);
        return context.RefuseAsync(status, reason);
    }
}
